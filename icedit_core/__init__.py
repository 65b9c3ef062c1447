"""The methods as torch code: no host import, no file or device globals."""
