"""What `import fastload` offers: runs from Python, carried out in a process of their own."""
