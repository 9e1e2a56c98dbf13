//! Modules that take much to compile, or whose code is large. Written byte by byte, since a text of
//! them would take longer to read than to compile.

/// Functions whose code is jump tables, and the targets of each: more than a mebibyte.
const FUNCTIONS: usize = 200;
const TARGETS: usize = 2_000;

/// A component whose one function has so many instructions that depend on one another.
pub fn bomb(instructions: usize) -> Vec<u8> {
    // local.get 0, i32.const 7, i32.mul, local.get 1, i32.rotl, local.tee 1, local.set 0
    let step = b"\x20\x00\x41\x07\x6c\x20\x01\x77\x22\x01\x21\x00";
    let steps = step.repeat(instructions / 7);
    let body = [b"\x00", &steps[..], b"\x20\x00\x0b"].concat();
    let code = [b"\x01", &number(body.len())[..], &body].concat();
    let kind = b"\x01\x60\x02\x7f\x7f\x01\x7f";
    let sections = [
        section(1, kind),
        section(3, b"\x01\x00"),
        section(10, &code),
    ];
    let module = [b"\0asm\x01\0\0\0", &sections.concat()[..]].concat();
    [b"\0asm\x0d\0\x01\0", &section(1, &module)[..]].concat()
}

/// `component`, and within it a module that nobody uses: with machine code that is always the same, and
/// `data` that may differ.
pub fn with_large_text(component: &[u8], data: &[u8]) -> Vec<u8> {
    // block, block, local.get 0, br_table to one of the two in turn, end, end, end
    let table = [&number(TARGETS)[..], &[0, 1].repeat(TARGETS / 2), &[0]].concat();
    let body = [
        b"\x00\x02\x40\x02\x40\x20\x00\x0e",
        &table[..],
        b"\x0b\x0b\x0b",
    ]
    .concat();
    let body = [&number(body.len())[..], &body].concat();
    let count = number(FUNCTIONS);
    let sections = [
        section(1, b"\x01\x60\x01\x7f\x00"),
        section(3, &[&count[..], &[0; FUNCTIONS]].concat()),
        section(5, b"\x01\x00\x01"),
        section(10, &[&count[..], &body.repeat(FUNCTIONS)].concat()),
        section(
            11,
            &[b"\x01\x00\x41\x00\x0b", &number(data.len())[..], data].concat(),
        ),
    ];
    let module = [b"\0asm\x01\0\0\0", &sections.concat()[..]].concat();
    [component, &section(1, &module)].concat()
}

fn section(kind: u8, content: &[u8]) -> Vec<u8> {
    [&[kind], &number(content.len())[..], content].concat()
}

/// A number as WebAssembly writes it: seven bits a byte, the lowest first.
fn number(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap();
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
