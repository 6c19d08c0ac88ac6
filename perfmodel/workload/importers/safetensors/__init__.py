"""safetensors files: headers of weights, and networks read from them."""
