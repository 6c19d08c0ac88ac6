"""When operators alone do not fit: patches, depth-first execution, streamed operators."""
