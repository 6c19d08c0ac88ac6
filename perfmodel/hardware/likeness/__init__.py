"""Which device of the library is most like another: by bandwidth, peak, age and tags."""
