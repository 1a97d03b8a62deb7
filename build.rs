//! Link options of the PHP extension.

fn main() {
    // PHP dlcloses its modules at the end of a process. Our sender thread may
    // still be running code of this library then, so it must never be unmapped.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
