"""The library behind the page ``cm gui``: everything that needs no Streamlit and no browser.

``form`` reads a script's meta into what the page shows; ``command`` writes a choice as four
commands; ``scripts`` finds scripts through CM; ``preview`` shows which file a request for our own
script means; ``process`` runs a command; ``server`` serves the page; ``labels`` names things.
"""
