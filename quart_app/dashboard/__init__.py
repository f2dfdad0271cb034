"""The pages for people at `/dashboard`: made by the server, readable without scripts. `site.py` is the way in."""
