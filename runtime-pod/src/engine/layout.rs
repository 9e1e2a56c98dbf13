//! How much of its memory a module lays out before it runs: data, stack and the start of its heap.

use wasmparser::{BinaryReaderError, DataKind, GlobalType, Operator, Parser, Payload, ValType};
use wasmtime::ResourcesRequired;

/// Bytes of a page of memory (WebAssembly core specification, 4.2.8).
const PAGE_BYTES: u64 = 64 << 10;
/// Bytes of an element of a table.
const ELEMENT_BYTES: u64 = size_of::<usize>() as u64;

/// Where the initial layout of a module ends, in bytes from the start of its memory. Zero, if it
/// has no memory.
///
/// A component holds several core modules; the one that lays out most decides. Linkers put the
/// stack below the data or above it and the heap after both, and they set the memory's initial size
/// to what that needs: so the layout ends where the higher of stack and data does, or, where a
/// module shows neither, with its initial memory.
///
/// Bytes that cannot be read lay out what was seen until then: compilation refuses them later.
pub(super) fn initial_end_bytes(bytes: &[u8]) -> u64 {
    let mut reader = Reader::default();
    // What is wrong with the bytes is said by the compiler.
    let _ = reader.read(bytes);
    reader.largest
}

/// Size of the largest memory and the largest table that an instance begins with, in bytes: of further
/// ones nothing is known but their number, and most have none.
pub(super) fn initial_bytes(resources: &ResourcesRequired) -> u64 {
    let pages = resources.max_initial_memory_size.unwrap_or_default();
    let elements = resources.max_initial_table_size.unwrap_or_default();
    pages
        .saturating_mul(PAGE_BYTES)
        .saturating_add(elements.saturating_mul(ELEMENT_BYTES))
}

/// What one core module shows.
#[derive(Debug, Default)]
struct Shown {
    memory_bytes: u64,
    data_end: u64,
    stack_top: u64,
}

impl Shown {
    /// Where the layout ends, in bytes. A guest can write anything into its globals, so numbers
    /// beyond its memory count for nothing.
    fn end(&self) -> u64 {
        let shown = self.data_end.max(self.stack_top);
        if shown == 0 || shown > self.memory_bytes {
            self.memory_bytes
        } else {
            shown
        }
    }
}

/// Reads the core modules of a component, or the one that the bytes are.
#[derive(Debug, Default)]
struct Reader {
    /// The module that is being read, and those around it.
    open: Vec<Option<Shown>>,
    largest: u64,
}

impl Reader {
    fn read(&mut self, bytes: &[u8]) -> Result<(), BinaryReaderError> {
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::Version { encoding, .. } => self.open.push(match encoding {
                    wasmparser::Encoding::Module => Some(Shown::default()),
                    wasmparser::Encoding::Component => None,
                }),
                Payload::End(_) => {
                    if let Some(Some(shown)) = self.open.pop() {
                        self.largest = self.largest.max(shown.end());
                    }
                }
                payload => {
                    if let Some(Some(shown)) = self.open.last_mut() {
                        look(shown, payload)?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn look(shown: &mut Shown, payload: Payload<'_>) -> Result<(), BinaryReaderError> {
    match payload {
        Payload::MemorySection(section) => {
            for memory in section {
                let bytes = memory?.initial.saturating_mul(PAGE_BYTES);
                shown.memory_bytes = shown.memory_bytes.max(bytes);
            }
        }
        Payload::GlobalSection(section) => {
            for global in section {
                let global = global?;
                // Of the mutable ones, only the stack pointer begins with an address.
                if is_pointer(&global.ty) {
                    let top = constant(&global.init_expr)?.unwrap_or(0);
                    if top <= shown.memory_bytes {
                        shown.stack_top = shown.stack_top.max(top);
                    }
                }
            }
        }
        Payload::DataSection(section) => {
            for data in section {
                let data = data?;
                if let DataKind::Active { offset_expr, .. } = &data.kind
                    && let Some(start) = constant(offset_expr)?
                {
                    let end = start.saturating_add(data.data.len() as u64);
                    shown.data_end = shown.data_end.max(end);
                }
            }
        }
        _ => {}
    }
    Ok(())
}

const fn is_pointer(kind: &GlobalType) -> bool {
    kind.mutable && matches!(kind.content_type, ValType::I32)
}

/// The number that an initialiser is, if it is one.
fn constant(expression: &wasmparser::ConstExpr<'_>) -> Result<Option<u64>, BinaryReaderError> {
    Ok(match expression.get_operators_reader().read()? {
        Operator::I32Const { value } => Some(u64::from(value.cast_unsigned())),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(text: &str) -> u64 {
        initial_end_bytes(&wat::parse_str(text).unwrap())
    }

    #[test]
    fn ends_where_the_higher_of_stack_and_data_does() {
        let cases = [
            ("(module)", 0),
            // What rustc links with a stack of 64 KiB, and with its default of 1 MiB.
            (
                r#"(module (memory 2) (global (mut i32) (i32.const 65536))
                    (data (i32.const 65536) "abcd"))"#,
                65_540,
            ),
            (
                r#"(module (memory 17) (global (mut i32) (i32.const 1048576))
                    (data (i32.const 1048576) "abcd"))"#,
                1_048_580,
            ),
            // Data below the stack, as other linkers have it.
            (
                r#"(module (memory 4) (global (mut i32) (i32.const 131072))
                    (data (i32.const 1024) "abcd"))"#,
                131_072,
            ),
            // Nothing is shown, or nothing that can be.
            ("(module (memory 3))", 196_608),
            (
                "(module (memory 1) (global (mut i32) (i32.const 700000)))",
                65_536,
            ),
            (
                r#"(module (memory 1) (data (i32.const 700000) "abcd"))"#,
                65_536,
            ),
            // A flag is no address.
            (
                r#"(module (memory 2) (global (mut i32) (i32.const -1))
                    (data (i32.const 2048) "abcd"))"#,
                2_052,
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(end(text), expected, "{text}");
        }
    }

    #[test]
    fn the_largest_module_of_a_component_decides() {
        let text = r#"(component
            (core module (memory 1))
            (core module (memory 9) (global (mut i32) (i32.const 300000)))
            (component (core module (memory 2))))"#;
        assert_eq!(end(text), 300_000);
    }

    #[test]
    fn what_is_cut_short_is_read_as_far_as_it_goes() {
        let bytes = wat::parse_str("(module (memory 5) (func) (func) (func))").unwrap();
        for length in 0..bytes.len() {
            assert_eq!(initial_end_bytes(&bytes[..length]), 0, "{length}");
        }
        assert_eq!(initial_end_bytes(&bytes), 5 * PAGE_BYTES);
    }
}
