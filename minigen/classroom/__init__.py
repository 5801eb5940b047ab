"""The classroom: chapters to learn from, and assignments with fair, fast grading, both as text.

    source       files of cells; `translation`: text in two languages
    chapter      a file of cells that teaches one thing; `rules`: what must be true of it
    lesson       what a chapter asks of the place where it runs: pictures, claims, fast runs
    execution    a chapter's cells run, with what each printed, showed and claimed
    pages        chapters as pages (`page`, `markdown`, `mathml`); `reader`: as notebooks
    assignment   a solved file of cells: what is asked, which tests
    release      the same without its solutions, as .py and .ipynb
    submission   a student's work, and calls of its functions in a process of its own
    own_work     what it may not use
    grading      every test against it, in the grader's process
    racing       how quick it is beside a reference; in the grader, on a track, by a stopwatch
    proof        that an assignment is fair
    reports      Gradescope's results.json, a table, pages

A student's code runs in a forked process (`nursery`, `worker`) that is kept from what it need not
do (`confinement`, `seccomp`) and can send nothing but values (`wire`). The standard library and
minigen are all that grading takes; pages need latex2mathml, of the `docs` extra.
"""
