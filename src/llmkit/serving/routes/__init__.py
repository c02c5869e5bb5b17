"""One module a route: what is asked, and the shape in which it is answered."""
