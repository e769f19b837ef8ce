"""Decontamination: records that hold a benchmark's question, found by shared word n-grams weighted against boilerplate.

``files`` and ``benchmarks`` read benchmark files into items (``scaffold`` takes prompts apart), ``index`` makes the
n-gram index of them, ``match`` finds a block's grams in it (the annotation), ``weigh`` says what a gram is worth,
``score`` how much of an item a record holds, ``decide`` what that means for the record, ``account`` what the report
says of each benchmark.
"""
