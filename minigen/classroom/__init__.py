"""Assignments as text, with fair, fast grading.

    source       files of cells, which chapters are too; `translation`: text in two languages
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
minigen are all that grading takes.
"""
