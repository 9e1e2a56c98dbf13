//! Preview 1 commands in WAT: small enough to be read, and built in no time.

use bytes::Bytes;

/// What every command here imports, and a function that prints `length` bytes from `start`.
const PRELUDE: &str = r#"
  (import "wasi_snapshot_preview1" "fd_read"
    (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get"
    (func $environ_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get"
    (func $environ_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get"
    (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get"
    (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 2)
  (func $print (param $start i32) (param $length i32)
    (i32.store (i32.const 0) (local.get $start))
    (i32.store (i32.const 4) (local.get $length))
    (if (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))
      (then (call $proc_exit (i32.const 74)))))
  (func $copy
    (loop $more
      (i32.store (i32.const 0) (i32.const 4096))
      (i32.store (i32.const 4) (i32.const 4096))
      (if (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))
        (then (call $proc_exit (i32.const 75))))
      (if (i32.load (i32.const 8))
        (then
          (call $print (i32.const 4096) (i32.load (i32.const 8)))
          (br $more)))))
"#;

/// A command that prints `text` and then does what `rest` says.
pub fn printing(text: &str, rest: &str) -> Bytes {
    with_pages(2, text, rest)
}

/// The same, with so many pages of memory, of 64 KiB each.
pub fn with_pages(pages: u32, text: &str, rest: &str) -> Bytes {
    let prelude = PRELUDE.replace("\"memory\") 2", &format!("\"memory\") {pages}"));
    let escaped: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    let length = text.len();
    let module = format!(
        r#"(module {prelude}
          (data (i32.const 16) "{escaped}")
          (func (export "_start")
            (if (i32.const {length}) (then (call $print (i32.const 16) (i32.const {length}))))
            {rest}))"#
    );
    wat::parse_str(module).unwrap().into()
}

/// Copies the body of the request.
pub const COPY: &str = "(call $copy)";
/// Prints the environment, each variable with a zero byte after it.
pub const ENVIRONMENT: &str = "
    (drop (call $environ_sizes_get (i32.const 0) (i32.const 4096)))
    (drop (call $environ_get (i32.const 8192) (i32.const 16384)))
    (call $print (i32.const 16384) (i32.load (i32.const 4096)))";
/// Prints the arguments, each with a zero byte after it.
pub const ARGUMENTS: &str = "
    (drop (call $args_sizes_get (i32.const 0) (i32.const 4096)))
    (drop (call $args_get (i32.const 8192) (i32.const 16384)))
    (call $print (i32.const 16384) (i32.load (i32.const 4096)))";
/// Computes for ever.
pub const SPIN: &str = "(loop $for_ever (br $for_ever))";
/// Prints for ever, 4 KiB at a time.
pub const FLOOD: &str = "(loop $more (call $print (i32.const 4096) (i32.const 4096)) (br $more))";
/// Wants memory for ever, and traps when it gets no more.
pub const GROW: &str = "
    (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
    unreachable";

/// Ends with `code`.
pub fn exit(code: i32) -> String {
    format!("(call $proc_exit (i32.const {code}))")
}

/// Goes round a loop so many times.
pub fn count_to(rounds: u32) -> String {
    format!(
        "(i32.store (i32.const 0) (i32.const {rounds}))
         (loop $more
           (i32.store (i32.const 0) (i32.sub (i32.load (i32.const 0)) (i32.const 1)))
           (br_if $more (i32.load (i32.const 0))))"
    )
}
