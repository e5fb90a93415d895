"""How kernels are compiled and cached, and the checksums that are compiled alike. No domain words."""
