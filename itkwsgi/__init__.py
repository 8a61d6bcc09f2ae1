"""itkwsgi: many people's Python sites on one machine, each as its own user, a fresh process for each request.

Every process of the server imports this module, the sites' own included, so it holds the version and nothing else.
"""

__version__ = "0.1.0"
