//! Each case runs against both resolvers: in the kernel, and step by step.

use super::super::path;
use super::super::testing::{as_ordinary_user, make_fifo};
use super::*;
use rustix::fs::RenameFlags;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

const BOTH: [Resolver; 2] = [Resolver::Openat2, Resolver::Stepwise];

/// A directory `in` to serve, beside a directory `out` that must never be read.
struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap() };
        fs::set_permissions(world.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["in/a/b", "out/b"] {
            fs::create_dir_all(world.dir.path().join(name)).unwrap();
        }
        for name in ["in/f", "in/a/f", "in/a/b/f"] {
            fs::write(world.at(name), format!("inside {name}")).unwrap();
        }
        for name in ["out/f", "out/b/f", "f"] {
            fs::write(world.at(name), "OUTSIDE").unwrap();
        }
        world
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn link(&self, target: &str, name: &str) {
        symlink(target, self.at(name)).unwrap();
    }

    fn roots(&self) -> Vec<Root> {
        BOTH.iter().map(|&resolver| Root::open_with(&self.at("in"), resolver).unwrap()).collect()
    }
}

fn rel(name: &str) -> RelPath {
    let segments = name.split('/').filter(|s| !s.is_empty());
    segments.fold(path::resolve(b"/").unwrap().rel, |dir, segment| dir.join(segment.as_bytes()).unwrap())
}

fn content(root: &Root, name: &str) -> Result<String, OpenError> {
    let mut opened = root.open_file(&rel(name))?;
    let mut text = String::new();
    opened.file.read_to_string(&mut text).unwrap();
    assert_eq!(opened.meta.size, text.len() as u64);
    Ok(text)
}

#[test]
fn a_missing_root_or_one_that_is_a_file_is_an_error_at_the_start() {
    let world = World::new();
    for resolver in [Resolver::Auto, Resolver::Openat2, Resolver::Stepwise] {
        assert_eq!(Root::open_with(&world.at("none"), resolver).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(
            Root::open_with(&world.at("f"), resolver).unwrap_err().kind(),
            io::ErrorKind::NotADirectory
        );
    }
    assert_eq!(Root::open(&world.at("in")).unwrap().resolver(), Resolver::Openat2);
    assert_eq!(Root::open_with(&world.at("in"), Resolver::Stepwise).unwrap().resolver(), Resolver::Stepwise);
}

#[test]
fn the_probe_takes_refusals_by_kernel_and_filter_for_missing_only() {
    assert!(is_missing(Errno::NOSYS) && is_missing(Errno::PERM));
    assert!(!is_missing(Errno::ACCESS) && !is_missing(Errno::MFILE) && !is_missing(Errno::AGAIN));
}

#[test]
fn regular_files_are_opened_and_directories_are_told_apart() {
    let world = World::new();
    let strange = ["with space", "100%", "%2e%2e", "ünïcode", "..a", "new\nline", "-rf", "a\\b"];
    for name in strange {
        fs::write(world.at("in").join(name), name).unwrap();
    }
    let long = "x".repeat(255);
    fs::write(world.at("in").join(&long), "long").unwrap();
    for root in world.roots() {
        assert_eq!(content(&root, "f").unwrap(), "inside in/f");
        assert_eq!(content(&root, "a/b/f").unwrap(), "inside in/a/b/f");
        assert_eq!(content(&root, &long).unwrap(), "long");
        for name in strange {
            assert_eq!(content(&root, name).unwrap(), name);
        }
        for directory in ["", "a", "a/b"] {
            assert_eq!(content(&root, directory), Err(OpenError::Directory));
        }
        for missing in ["none", "a/none", "none/f", "f/f", "f/f/f", &"x".repeat(256), &"x/".repeat(3000)] {
            assert_eq!(content(&root, missing), Err(OpenError::NotFound));
        }
    }
}

#[test]
fn fifos_sockets_and_devices_are_not_found_and_never_block() {
    let world = World::new();
    make_fifo(&world.at("in/fifo"));
    let _listener = UnixListener::bind(world.at("in/socket")).unwrap();
    world.link("fifo", "in/to-fifo");
    for root in world.roots() {
        for name in ["fifo", "socket", "to-fifo", "fifo/f", "socket/f"] {
            assert_eq!(content(&root, name), Err(OpenError::NotFound), "{name} {:?}", root.resolver());
        }
    }
    for resolver in BOTH {
        let dev = Root::open_with(Path::new("/dev"), resolver).unwrap();
        for name in ["null", "zero", "tty"] {
            assert_eq!(content(&dev, name), Err(OpenError::NotFound), "{name} {resolver:?}");
        }
    }
}

#[test]
fn relative_links_inside_the_root_are_followed() {
    let world = World::new();
    world.link("f", "in/to-f");
    world.link("a/b", "in/to-b");
    world.link("../f", "in/a/up");
    world.link("../../a/./b//../f", "in/a/b/around");
    world.link("to-f", "in/twice");
    world.link(".", "in/self");
    world.link("b/", "in/a/slash");
    world.link("f/", "in/file-slash");
    world.link("f/.", "in/file-dot");
    world.link("none", "in/dangling");
    for root in world.roots() {
        let table = [
            ("to-f", "inside in/f"),
            ("to-b/f", "inside in/a/b/f"),
            ("a/up", "inside in/f"),
            ("a/b/around", "inside in/a/f"),
            ("to-b/around", "inside in/a/f"),
            ("twice", "inside in/f"),
            ("self/self/self/f", "inside in/f"),
            ("a/slash/f", "inside in/a/b/f"),
        ];
        for (name, want) in table {
            assert_eq!(content(&root, name).as_deref(), Ok(want), "{name} {:?}", root.resolver());
        }
        for directory in ["to-b", "self", "a/slash"] {
            assert_eq!(content(&root, directory), Err(OpenError::Directory));
        }
        for missing in ["file-slash", "file-dot", "dangling", "dangling/f"] {
            assert_eq!(content(&root, missing), Err(OpenError::NotFound), "{missing} {:?}", root.resolver());
        }
    }
}

#[test]
fn links_that_leave_the_root_are_refused() {
    let world = World::new();
    world.link("../out/f", "in/out-rel");
    world.link("../../out/f", "in/a/out-rel");
    world.link("../out", "in/out-dir");
    world.link("..", "in/up");
    world.link("a/../..", "in/down-up");
    world.link("../in/f", "in/out-and-back");
    world.link("/", "in/slash");
    world.link("out-rel", "in/twice");
    symlink(world.at("out/f"), world.at("in/absolute")).unwrap();
    symlink(world.at("in/f"), world.at("in/absolute-inside")).unwrap();
    fs::create_dir(world.at("in-sibling")).unwrap();
    fs::write(world.at("in-sibling/f"), "OUTSIDE").unwrap();
    world.link("../in-sibling/f", "in/sibling");
    for root in world.roots() {
        let names = [
            "out-rel",
            "a/out-rel",
            "out-dir/f",
            "out-dir",
            "up",
            "up/f",
            "up/in/f",
            "down-up",
            "down-up/f",
            "out-and-back",
            "slash",
            "slash/etc/passwd",
            "twice",
            "absolute",
            "absolute-inside",
            "sibling",
        ];
        for name in names {
            assert_eq!(content(&root, name), Err(OpenError::Forbidden), "{name} {:?}", root.resolver());
        }
    }
}

#[test]
fn loops_and_long_chains_of_links_are_not_found() {
    let world = World::new();
    world.link("loop", "in/loop");
    world.link("pong", "in/ping");
    world.link("ping", "in/pong");
    world.link("a/down", "in/a/down");
    world.link("f", "in/chain0");
    for at in 1..=40 {
        world.link(&format!("chain{}", at - 1), &format!("in/chain{at}"));
    }
    for root in world.roots() {
        for name in ["loop", "loop/f", "ping", "a/down/f", "chain40"] {
            assert_eq!(content(&root, name), Err(OpenError::NotFound), "{name} {:?}", root.resolver());
        }
        assert_eq!(content(&root, "chain39").unwrap(), "inside in/f");
    }
}

#[test]
fn magic_links_are_refused() {
    let world = World::new();
    for (resolver, name) in
        BOTH.into_iter().flat_map(|r| ["cwd", "root", "exe", "fd/0", "ns/net"].map(|n| (r, n)))
    {
        let own = Root::open_with(Path::new("/proc/self"), resolver).unwrap();
        let refused = content(&own, name).unwrap_err();
        assert!(
            matches!(refused, OpenError::NotFound | OpenError::Forbidden),
            "{name} {resolver:?} {refused:?}"
        );
    }
    world.link("/proc/self/root", "in/proc");
    for root in world.roots() {
        assert_eq!(content(&root, "proc/etc/passwd"), Err(OpenError::Forbidden));
    }
}

#[test]
fn what_an_ordinary_user_may_not_read_is_forbidden() {
    let world = World::new();
    for name in ["secret", "entered", "closed"] {
        fs::create_dir(world.at("in").join(name)).unwrap();
        fs::write(world.at("in").join(name).join("f"), "text").unwrap();
    }
    let mode = |name: &str, mode| {
        fs::set_permissions(world.at("in").join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("f", 0o000);
    mode("secret/f", 0o000);
    mode("entered", 0o311);
    mode("closed", 0o000);
    make_fifo(&world.at("in/fifo"));
    mode("fifo", 0o000);
    let roots = world.roots();
    as_ordinary_user(move || {
        for root in roots {
            let resolver = root.resolver();
            assert_eq!(content(&root, "f"), Err(OpenError::Forbidden), "{resolver:?}");
            assert_eq!(content(&root, "secret/f"), Err(OpenError::Forbidden), "{resolver:?}");
            assert_eq!(content(&root, "entered/f").as_deref(), Ok("text"), "{resolver:?}");
            assert_eq!(content(&root, "entered"), Err(OpenError::Directory), "{resolver:?}");
            assert_eq!(content(&root, "closed"), Err(OpenError::Directory), "{resolver:?}");
            assert_eq!(content(&root, "closed/f"), Err(OpenError::Forbidden), "{resolver:?}");
            assert_eq!(content(&root, "closed/none"), Err(OpenError::Forbidden), "{resolver:?}");
            assert_eq!(content(&root, "fifo"), Err(OpenError::NotFound), "{resolver:?}");
            assert_eq!(content(&root, "a/f").as_deref(), Ok("inside in/a/f"), "{resolver:?}");
        }
    });
    mode("closed", 0o755);
}

#[test]
fn errors_map_to_what_the_peer_may_know() {
    let table = [
        (Errno::NOENT, OpenError::NotFound),
        (Errno::NAMETOOLONG, OpenError::NotFound),
        (Errno::LOOP, OpenError::NotFound),
        (Errno::NXIO, OpenError::NotFound),
        (Errno::XDEV, OpenError::Forbidden),
        (Errno::PERM, OpenError::Forbidden),
        (Errno::MFILE, OpenError::Busy),
        (Errno::NFILE, OpenError::Busy),
        (Errno::AGAIN, OpenError::Busy),
        (Errno::IO, OpenError::Failed(Errno::IO)),
    ];
    for (errno, want) in table {
        assert_eq!(OpenError::from_errno(errno), want);
    }
}

#[test]
fn a_walk_ends_at_its_depth() {
    let world = World::new();
    let deep = "d/".repeat(200);
    fs::create_dir_all(world.at("in").join(&deep)).unwrap();
    fs::write(world.at("in").join(&deep).join("f"), "deep").unwrap();
    let [openat2, stepwise] = <[Root; 2]>::try_from(world.roots()).unwrap();
    assert_eq!(content(&openat2, &format!("{deep}f")).unwrap(), "deep");
    assert_eq!(content(&stepwise, &format!("{deep}f")), Err(OpenError::NotFound));
    assert_eq!(content(&stepwise, &"d/".repeat(128)), Err(OpenError::Directory));
}

#[test]
fn stat_equals_the_opened_state_until_the_file_changes() {
    let world = World::new();
    for root in world.roots() {
        let name = rel("a/f");
        fs::write(world.at("in/a/f"), "one").unwrap();
        let opened = root.open_file(&name).unwrap().meta;
        assert_eq!(root.stat(&name).unwrap(), opened);
        fs::write(world.at("in/new"), "two").unwrap();
        fs::rename(world.at("in/new"), world.at("in/a/f")).unwrap();
        assert_ne!(root.stat(&name).unwrap(), opened);
        fs::remove_file(world.at("in/a/f")).unwrap();
        assert_eq!(root.stat(&name).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}

/// Runs `swap` on a thread of its own while `look` runs `rounds` times, for each resolver. It ends when besides at
/// least as many swaps were made, so that the two have met.
fn race(world: &World, rounds: u32, swap: impl Fn() + Sync, look: impl Fn(&Root)) {
    for root in world.roots() {
        let stop = AtomicBool::new(false);
        let swaps = AtomicU32::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    swap();
                    swaps.fetch_add(1, Ordering::Relaxed);
                }
            });
            // The swapping thread ends also when a look fails.
            let looked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let mut looks = 0;
                while looks < rounds || swaps.load(Ordering::Relaxed) < rounds {
                    look(&root);
                    looks += 1;
                }
            }));
            stop.store(true, Ordering::Relaxed);
            if let Err(panic) = looked {
                std::panic::resume_unwind(panic);
            }
        });
    }
}

fn exchange(one: &Path, two: &Path) {
    rustix::fs::renameat_with(rustix::fs::CWD, one, rustix::fs::CWD, two, RenameFlags::EXCHANGE).unwrap();
}

fn is_inside_or_refused(root: &Root, name: &str) {
    match content(root, name) {
        Ok(text) => assert!(text.starts_with("inside"), "{name}: {text} by {:?}", root.resolver()),
        Err(OpenError::Failed(errno)) => panic!("{name}: {errno} by {:?}", root.resolver()),
        Err(_) => {}
    }
}

#[test]
fn a_directory_swapped_for_a_link_never_shows_the_outside() {
    let world = World::new();
    world.link("../out", "in/link");
    let (dir, link) = (world.at("in/a"), world.at("in/link"));
    race(
        &world,
        3000,
        || exchange(&dir, &link),
        |root| {
            is_inside_or_refused(root, "a/f");
            is_inside_or_refused(root, "a/b/f");
        },
    );
}

#[test]
fn a_file_swapped_for_a_link_never_shows_the_outside() {
    let world = World::new();
    world.link("../out/f", "in/link");
    make_fifo(&world.at("in/fifo"));
    let (file, link, fifo) = (world.at("in/f"), world.at("in/link"), world.at("in/fifo"));
    let swap = || {
        exchange(&file, &link);
        exchange(&file, &fifo);
    };
    race(&world, 3000, swap, |root| is_inside_or_refused(root, "f"));
}

#[test]
fn a_directory_moved_out_while_a_link_climbs_never_shows_the_outside() {
    let world = World::new();
    world.link("../f", "in/a/b/up");
    world.link("../../f", "in/a/b/up-twice");
    let (inner, outer) = (world.at("in/a/b"), world.at("out/moved"));
    let swap = || {
        fs::rename(&inner, &outer).unwrap();
        fs::rename(&outer, &inner).unwrap();
    };
    race(&world, 3000, swap, |root| {
        is_inside_or_refused(root, "a/b/up");
        is_inside_or_refused(root, "a/b/up-twice");
    });
}

#[test]
fn renames_elsewhere_never_hide_a_file_behind_a_climbing_link() {
    let world = World::new();
    world.link("../a/b/../f", "in/a/around");
    let (one, two) = (world.at("in/moving"), world.at("out/moving"));
    fs::write(&one, "inside or out").unwrap();
    let swap = || {
        fs::rename(&one, &two).unwrap();
        fs::rename(&two, &one).unwrap();
    };
    race(&world, 5000, swap, |root| {
        assert_eq!(content(root, "a/around").as_deref(), Ok("inside in/a/f"), "{:?}", root.resolver());
    });
}

#[test]
fn no_link_is_followed_where_none_may_be() {
    let world = World::new();
    world.link("f", "in/file-link");
    world.link("a", "in/dir-link");
    world.link("../out/f", "in/leaves");
    world.link("loop", "in/loop");
    for root in world.roots() {
        let root = root.with_symlinks(Symlinks::None);
        assert_eq!(content(&root, "a/b/f").unwrap(), "inside in/a/b/f");
        for name in ["file-link", "dir-link/f", "dir-link", "leaves", "loop"] {
            assert_eq!(
                content(&root, name).err(),
                Some(OpenError::Forbidden),
                "{name} {:?}",
                root.resolver()
            );
        }
        assert_eq!(content(&root, "a").err(), Some(OpenError::Directory));
        assert_eq!(content(&root, "none").err(), Some(OpenError::NotFound));
    }
}

#[test]
fn every_link_is_followed_where_the_operator_says_so() {
    let world = World::new();
    world.link("f", "in/file-link");
    world.link("../out/f", "in/leaves");
    world.link(world.at("out").to_str().unwrap(), "in/absolute");
    world.link("loop", "in/loop");
    make_fifo(&world.at("out/fifo"));
    for root in world.roots() {
        let root = root.with_symlinks(Symlinks::Follow);
        assert_eq!(content(&root, "file-link").unwrap(), "inside in/f");
        for name in ["leaves", "absolute/f", "absolute/b/f"] {
            assert_eq!(content(&root, name).unwrap(), "OUTSIDE", "{name} {:?}", root.resolver());
        }
        assert_eq!(content(&root, "absolute").err(), Some(OpenError::Directory));
        for name in ["loop", "none", "absolute/fifo"] {
            assert_eq!(content(&root, name).err(), Some(OpenError::NotFound), "{name}");
        }
    }
}
