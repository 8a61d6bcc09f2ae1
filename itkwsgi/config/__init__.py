"""What the operator said: itk.toml read, checked whole, and turned into frozen plain data.

Loaded by the supervisor as root, so: the standard library only, and nothing is ever executed or opened that a site can
write.  `itkwsgi.config.load.load` is the way in, `itkwsgi.config.model` what comes out.
"""
