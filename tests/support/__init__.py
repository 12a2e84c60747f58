"""What tests share: servers under the test's control, process runners, oracles. Typed like the package; never imported by it."""
