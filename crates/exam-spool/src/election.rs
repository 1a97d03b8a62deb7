//! One sender per spool.
//!
//! The lock is fcntl(2)'s: a forked child does not inherit it, and the kernel
//! says who holds it. But closing any descriptor on the file in the process
//! releases it, so the file is opened once per process, here, and never closed.

use crate::process::process_token;
use crate::spool::Spool;
use rustix::fd::{AsRawFd, BorrowedFd, IntoRawFd};
use rustix::fs::{FlockOperation, fstat};
use rustix::process::{Flock, FlockType, fcntl_getlk};
use std::io;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

const NAME: &str = "sender.lock";

/// The process's one descriptor on one spool's lock file. Never freed; in a
/// list without locks, because a fork may happen at any moment.
struct Node {
    dev: u64,
    ino: u64,
    /// The process that opened `fd`: an inherited one is left alone.
    opened_by: u64,
    fd: i32,
    /// The process whose thread is elected through this node, or 0.
    elected: AtomicU64,
    next: *const Node,
}

static NODES: AtomicPtr<Node> = AtomicPtr::new(std::ptr::null_mut());

/// While it lives, this process is the spool's one sender.
pub struct Election {
    node: &'static Node,
}

impl Spool {
    /// Becomes the sender, unless another process, or another thread of this one, is.
    /// Puts in order what dead processes left half done.
    pub fn try_elect(&self) -> io::Result<Option<Election>> {
        let node = node(self)?;
        let token = process_token();
        if node
            .elected
            .compare_exchange(0, token, Ordering::AcqRel, Ordering::Relaxed)
            .is_err()
        {
            return Ok(None);
        }
        match rustix::fs::fcntl_lock(node.fd(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                let election = Election { node };
                self.sweep()?;
                self.recount()?;
                Ok(Some(election))
            }
            Err(e) => {
                node.elected.store(0, Ordering::Release);
                match e {
                    rustix::io::Errno::ACCESS | rustix::io::Errno::AGAIN => Ok(None),
                    e => Err(e.into()),
                }
            }
        }
    }

    /// The elected process's pid, 0 if it is in another pid namespace; `None` if there is none.
    pub fn sender_pid(&self) -> io::Result<Option<u32>> {
        let node = node(self)?;
        if node.elected.load(Ordering::Acquire) != 0 {
            return Ok(Some(std::process::id()));
        }
        let holder = fcntl_getlk(node.fd(), &Flock::from(FlockType::WriteLock))?;
        Ok(holder.map(|lock| lock.pid.map_or(0, |pid| pid.as_raw_nonzero().get() as u32)))
    }
}

impl Drop for Election {
    fn drop(&mut self) {
        if self.node.opened_by == process_token() {
            let _ = rustix::fs::fcntl_lock(self.node.fd(), FlockOperation::Unlock);
            self.node.elected.store(0, Ordering::Release);
        }
    }
}

impl Node {
    fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: a node's descriptor is never closed.
        unsafe { BorrowedFd::borrow_raw(self.fd) }
    }
}

fn node(spool: &Spool) -> io::Result<&'static Node> {
    let token = process_token();
    let dir = fstat(spool.dir())?;
    let find = |mut at: *const Node| {
        // SAFETY: nodes are leaked and, once in the list, never change but for atomics.
        while let Some(node) = unsafe { at.as_ref() } {
            if (node.dev, node.ino, node.opened_by) == (dir.st_dev as u64, dir.st_ino as u64, token)
            {
                return Some(node);
            }
            at = node.next;
        }
        None
    };
    let mut head = NODES.load(Ordering::Acquire);
    if let Some(node) = find(head) {
        return Ok(node);
    }
    // A second thread may come this far too: both descriptors stay open, one node wins.
    let fd = spool.ensure_file(NAME)?.into_raw_fd();
    let node = Box::into_raw(Box::new(Node {
        dev: dir.st_dev as u64,
        ino: dir.st_ino as u64,
        opened_by: token,
        fd: fd.as_raw_fd(),
        elected: AtomicU64::new(0),
        next: head,
    }));
    loop {
        // SAFETY: the node is not published yet, so only this thread has it.
        unsafe { (*node).next = head };
        match NODES.compare_exchange(head, node, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: published nodes are never freed.
            Ok(_) => return Ok(unsafe { &*node }),
            Err(newer) => {
                head = newer;
                if let Some(theirs) = find(head) {
                    return Ok(theirs);
                }
            }
        }
    }
}
