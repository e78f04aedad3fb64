"""The library behind the page ``cm gui``: everything of it that needs no Streamlit and no browser.

``form`` reads a script's meta into what a page shows; ``call`` writes a choice as the four
commands; ``scripts`` asks CM for scripts;
``meaning`` says which file a request for our own script means; ``running`` runs a command;
``launch`` starts the page.
"""
