module wasmfn.dev/ci/starlark-syntax

go 1.26

require go.starlark.net v0.0.0-20260908191801-89a6a09411d5
