"""What a choice of formats, sparsity and channels costs in output error."""
