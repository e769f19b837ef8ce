"""What uses a release: plan, stream, render, loss, train, evaluate. No Beam, and torch only where a model is.

``train.py`` is the story from top to bottom. ``prepare.py`` is all that is known before a model is loaded: the release,
its rows looked at once (``preflight.py``), and the plan of every step (``plan/``). ``feed.py`` turns the plan into
packs, ``step.py`` those into gradients; ``checkpoint.py`` and ``pin.py`` keep what a run goes on with.
"""
