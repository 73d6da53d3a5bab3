"""Pages: one HTML file that holds all it shows, made of tables, curves and pictures that other rooms fill.

Jinja2 is imported only when a page is made.
"""
