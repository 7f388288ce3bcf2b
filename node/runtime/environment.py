"""Allowlist of the environment variables that programs and builds inherit.

The agent's own environment holds the keys of the Prefect API, the path of the job's secrets and perhaps a cloud's
credentials, and a program's environment ends up in logs, core files and results.

Settings of MPI libraries are on the list, since an image may need them. The variables of a running MPI job (PMIX_RANK,
OMPI_COMM_WORLD_*) are not, because a program's own mpirun would take itself for a part of that job. Proxy addresses are
on the list even if they hold a password, since builds need them.
"""

from __future__ import annotations

from collections.abc import Mapping

from spotwave.node.contract import ENV_MACHINE, ENV_WORK

# By line: the system; libraries and compiler search paths; graphics cards; the network; PySCF, except the variable for
# the file that it executes.
_LISTED = """
PATH HOME USER LOGNAME SHELL TERM LANG LANGUAGE TZ TMPDIR TMP TEMP XDG_CACHE_HOME XDG_RUNTIME_DIR
LD_LIBRARY_PATH DYLD_LIBRARY_PATH DYLD_FALLBACK_LIBRARY_PATH PYTHONPATH VIRTUAL_ENV CONDA_PREFIX CC CXX FC F77 CPP LD AR
CFLAGS CXXFLAGS CPPFLAGS FCFLAGS FFLAGS LDFLAGS MAKEFLAGS LIBRARY_PATH CPATH C_INCLUDE_PATH CPLUS_INCLUDE_PATH
PKG_CONFIG_PATH CMAKE_PREFIX_PATH MODULEPATH MODULESHOME LOADEDMODULES MKLROOT ONEAPI_ROOT CUDA_HOME CUDA_PATH
CUDA_VISIBLE_DEVICES NVIDIA_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES HIP_VISIBLE_DEVICES
http_proxy https_proxy ftp_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY FTP_PROXY ALL_PROXY NO_PROXY
SSL_CERT_FILE SSL_CERT_DIR CURL_CA_BUNDLE REQUESTS_CA_BUNDLE GIT_SSL_CAINFO
PYSCF_MAX_MEMORY PYSCF_TMPDIR
"""
# The last two identify a local machine's processes, even after they have been reparented.
_NAMES = {*_LISTED.split(), ENV_MACHINE, ENV_WORK}
_BEGINNINGS = (
    *("LC_", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "GOTO_", "BLIS_", "VECLIB_", "NUMEXPR_"),
    *("OMPI_MCA_", "OMPI_ALLOW_", "PMIX_MCA_", "PRTE_MCA_", "UCX_", "I_MPI_", "MPICH_", "FI_", "HWLOC_", "OPAL_"),
)


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the part of `environment` that a program inherits."""
    return {name: value for name, value in environment.items() if name in _NAMES or name.startswith(_BEGINNINGS)}
