"""The only code that touches the kernel directly.  It does as it is told: what to do is decided elsewhere."""
