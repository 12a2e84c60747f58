"""How results reach people and programs: console, live view, JSON, tables. Judges nothing, measures nothing."""
