"""Programming tasks as people give them to an assistant, for load that looks like coding; part of fastload, written for it."""

from __future__ import annotations

from typing import Final

_TASKS: Final = """
Write a Python function that merges overlapping intervals given as a list of (start, end) pairs, with type hints and a \
docstring. Then write five pytest cases, one of them for an empty list.
---
This SQL query takes forty seconds on a table with eighty million rows. Explain why, and rewrite it so that an index can be used.

SELECT customer_id, COUNT(*) FROM orders WHERE DATE(created_at) = '2024-03-01' GROUP BY customer_id HAVING COUNT(*) > 3;
---
Explain what is wrong with this C function and give a corrected version.

char *greeting(const char *name) {
    char buffer[32];
    sprintf(buffer, "Hello, %s!", name);
    return buffer;
}
---
Implement an LRU cache in Rust with get and put in constant time. Use only the standard library and no unsafe code. Describe the \
data structure first.
---
Convert this callback code to async/await and handle the errors in one place.

readConfig(path, function (err, config) {
  if (err) return done(err);
  connect(config.url, function (err, db) {
    if (err) return done(err);
    db.query("select 1", function (err, rows) {
      db.close();
      done(err, rows);
    });
  });
});
---
Write a Bash script that rotates log files in a directory: compress files older than one day, delete archives older than thirty \
days, and never touch a file that a process still holds open.
---
Here is a Go test that fails about once in fifty runs. Find the race and fix it without a sleep.

func TestCounter(t *testing.T) {
    c := &Counter{}
    for i := 0; i < 100; i++ {
        go c.Add(1)
    }
    if c.Value() != 100 {
        t.Fatalf("got %d", c.Value())
    }
}
---
Design a rate limiter for a public HTTP API: one million keys, ten nodes, a limit per minute and one per day. Compare a token \
bucket with a sliding window and give code for the one you choose.
---
Write a regular expression for ISO 8601 timestamps with an optional fraction and an optional offset. Explain each part and list \
three inputs it should reject.
---
Refactor this Python class so that it can be tested without a network, and show the test.

class Weather:
    def today(self, city):
        import requests
        data = requests.get("https://api.example.com/v1/" + city).json()
        return data["temp"] - 273.15
---
Write a TypeScript type DeepPartial<T> that also handles arrays and readonly properties. Show three uses that compile and one \
that does not.
---
Given a directed graph as an adjacency list, find all strongly connected components. Use Tarjan's algorithm, without recursion, \
in Java. State the complexity.
---
Review this pull request. Say what you would block on and what you would only suggest.

+ def load(path):
+     try:
+         return json.load(open(path))
+     except:
+         return {}
---
Write a Dockerfile for a Python web service with a C extension. The final image must hold no compiler, run as an unprivileged \
user and rebuild fast when only the source changes.
---
Explain what a memory barrier does on ARM and on x86, and why this double-checked lock in C++ is broken on one of them.

if (!instance) {
    std::lock_guard<std::mutex> guard(lock);
    if (!instance) instance = new Service();
}
return instance;
---
Write a parser for arithmetic expressions with +, -, *, /, parentheses and unary minus in JavaScript. It returns a syntax tree; \
errors name the column.
---
Our Kubernetes pods are killed with exit code 137 some minutes after each release. List the likely causes in order, the command \
that confirms each, and the fix.
---
Write a migration for PostgreSQL that splits the column full_name into first_name and last_name in a table with fifty million \
rows, without locking it for more than a second.
---
Port this function to NumPy without a Python loop and say how much memory it needs for n points.

def nearest(points, query):
    best = None
    for p in points:
        d = sum((a - b) ** 2 for a, b in zip(p, query))
        if best is None or d < best[0]:
            best = (d, p)
    return best[1]
---
Write property-based tests with Hypothesis for a function encode(text) -> bytes and its inverse decode. Which properties are \
worth testing, and which would only repeat the implementation?
---
A React component renders a table of ten thousand rows and typing in the filter field lags. Show how to find the cause with the \
profiler, then fix it.
---
Write a small HTTP/1.1 request parser in C that works on a buffer which may hold half a request. It must not allocate. Define \
its states first.
---
Explain this stack trace to a junior developer and suggest the next three steps.

java.util.ConcurrentModificationException
    at java.base/java.util.ArrayList$Itr.checkForComodification(ArrayList.java:1013)
    at java.base/java.util.ArrayList$Itr.next(ArrayList.java:967)
    at com.example.cart.Cart.removeExpired(Cart.java:41)
---
Complete this function so that it returns the k most frequent words of a text, ties in alphabetical order.

def top_words(text: str, k: int) -> list[tuple[str, int]]:
    \"\"\"Words are runs of letters; case does not matter.\"\"\"
"""

CODE_PROMPTS: Final[tuple[str, ...]] = tuple(task.strip() for task in _TASKS.split("\n---\n"))
