use std::time::Duration;
pub struct Local { pub serial: u64 }
static L: Local = Local{serial:1};
pub fn local() -> &'static Local { &L }
pub fn put(_s:&str, l:&[&[u8]]) -> usize { l.len() }
pub fn flush(_t:Duration)->bool{true}
pub fn remember_environment(){}
pub fn close(){}
