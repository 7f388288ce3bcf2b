"""Program that calls the cloud's APIs on a machine before anything is installed. Standard library, Python 3.9 or later.

`common.py` and one file per cloud are merged into one program, which is part of the user data (blocks/user_data.py)::

    python3 cloud.py secrets <folder>    fetch the job's secret and write its files
    python3 cloud.py node <brief>        write the machine's node index into its brief
    python3 cloud.py uv <folder>         download the uv program that SPOTWAVE_UV pins
    python3 cloud.py tell                copy the log from stdin to the lease and stdout, without secrets
    python3 cloud.py end                 end the machine for good
"""
