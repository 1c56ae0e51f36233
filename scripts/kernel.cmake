# How libbitcoinkernel-sys builds Bitcoin Core's kernel in this workspace: several sources to a compilation, since most of
# the time goes to the headers that they share, and without debug information, which nobody here reads. Optimisation and
# hardening are Core's own. .cargo/config.toml names this file; a CMAKE_TOOLCHAIN_FILE of the environment comes first.
set(CMAKE_UNITY_BUILD ON CACHE BOOL "")
set(CMAKE_UNITY_BUILD_BATCH_SIZE 8)
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -DNDEBUG" CACHE STRING "")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2" CACHE STRING "")
