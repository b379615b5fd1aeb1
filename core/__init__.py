"""Everything the app knows. Nothing here knows about Streamlit.

Before any other library is imported: one thread for each fit (of rows as few as ours more are slower, and there is a server
beside), and no telemetry. Whoever sets these variables has the last word.
"""

import os

for _name, _value in {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}.items():
    os.environ.setdefault(_name, _value)
