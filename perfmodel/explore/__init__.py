"""A local web page for interactive predictions (``perfmodel explore``).

`page` builds the Dash application and serves it; `answer` computes the contents of the page from a
selection; `choices` and `request_body` restrict what a request may ask for.
"""
