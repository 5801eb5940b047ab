"""Chapters to learn from, each one file of cells: run, checked, and made into pages and notebooks.

    chapter      a file of cells that teaches one thing, in two languages
    lesson       what a chapter asks of the place where it runs: pictures, claims, fast runs
    rules        what must be true of a chapter; `prose`: of its text
    execution    a chapter's cells run, with what each printed, showed and claimed
    pages        chapters as pages (`template`, `markdown`, `mathml`)
    reader       chapters as the reader gets them, solutions folded: notebooks
    listing      all of them as a table

Pages need markdown-it-py and latex2mathml, of the `docs` extra; to run a chapter needs neither.
"""
