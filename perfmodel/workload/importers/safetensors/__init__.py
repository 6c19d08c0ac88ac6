"""safetensors files: headers of weights, and the networks that they belong to."""
