"""llama.cpp and T-MAC on machines that people own: one module a table of measurements."""
