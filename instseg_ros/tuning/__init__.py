"""
Tuning by looking: a page in the browser that shows what each setting does to a recording.

Only :mod:`.page`, :mod:`.controls` and :mod:`.server` need NiceGUI.
"""
