"""What the single file runs first: sets the frozen program up, then hands over to the command line."""

from fastload.cli.frozen import prepare

prepare()

from fastload.cli.main import main  # noqa: E402 - what it imports may need what was set up

main()
