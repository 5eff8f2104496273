"""`python -m numina_infer` is `numina-infer`."""

import sys

from numina_infer.cli import main

sys.exit(main())
