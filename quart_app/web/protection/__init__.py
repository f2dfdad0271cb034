"""The checks between the network and the routes: the caller of a request, refusals, and limits."""
