"""``python -m distributed_prompt`` is ``dprompt``."""

from distributed_prompt.cli import main

if __name__ == "__main__":
    main()
