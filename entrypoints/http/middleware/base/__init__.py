"""One exchange of a request and a response, and one pass of all middleware over it."""
