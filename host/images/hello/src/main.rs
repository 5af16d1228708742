//! The image `wasmkube/hello`: says what it is told and where it runs, and ends well.

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words = if arguments.is_empty() { "Hello from WebAssembly".to_owned() } else { arguments.join(" ") };
    println!("{words}");
    for (name, value) in std::env::vars() {
        println!("{name}={value}");
    }
}
