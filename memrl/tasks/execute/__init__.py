"""Executing programs: a small language, and the task of saying what a program does."""
