use super::super::testing::with_head;
use super::*;
use proptest::prelude::*;

/// `secret`, with bcrypt's least cost.
const LINE: &str = "anna:$2y$04$UtgjXwx9K4JBEc9RdIp.eO80F.Lu90IIjFuoBIMCQDSMZI2nk1sve\n";
/// The same of another name, and of another length: the tests write faster than a file system's clock ticks.
const OTHER: &str = "# b\nbert:$2y$04$UtgjXwx9K4JBEc9RdIp.eO80F.Lu90IIjFuoBIMCQDSMZI2nk1sve\n";

struct Rig {
    dir: tempfile::TempDir,
    auth: Auth,
    now: u64,
    hashed: u32,
}

fn rig() -> Rig {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users");
    std::fs::write(&path, LINE).unwrap();
    let auth = Auth::load(&path).unwrap();
    // Far from the file's own times, so that only its state tells whether it is read.
    Rig { dir, auth, now: 4_000_000_000, hashed: 0 }
}

fn basic(plain: &[u8]) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(plain))
}

impl Rig {
    /// The verdict as a request gets it, its question answered.
    fn ask(&mut self, fields: &str) -> bool {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let judge = |rig: &mut Self, checked: Option<Checked>| {
            with_head(&request, |head| rig.auth.judge(head, || checked.map(Ok), rig.now))
        };
        match judge(self, None) {
            Verdict::Allowed => true,
            Verdict::Denied => false,
            Verdict::Busy | Verdict::Failed(_) => panic!("no verdict"),
            Verdict::Ask(question) => {
                self.hashed += 1;
                let checked = question.answer();
                match judge(self, Some(checked)) {
                    Verdict::Allowed => true,
                    Verdict::Denied => false,
                    Verdict::Ask(_) | Verdict::Busy | Verdict::Failed(_) => panic!("no verdict"),
                }
            }
        }
    }

    fn write(&mut self, text: &str) {
        std::fs::write(self.dir.path().join("users"), text).unwrap();
        self.now += 1;
    }
}

#[test]
fn the_right_password_passes_and_is_hashed_once_until_its_time_is_over() {
    let mut rig = rig();
    let right = basic(b"anna:secret");
    assert!(rig.ask(&right) && rig.ask(&right));
    assert_eq!(rig.hashed, 1);
    rig.now += REMEMBER_S - 1;
    assert!(rig.ask(&right));
    assert_eq!(rig.hashed, 1);
    rig.now += 1;
    assert!(rig.ask(&right));
    assert_eq!(rig.hashed, 2);
    rig.now -= 2 * REMEMBER_S;
    assert!(rig.ask(&right));
    assert_eq!(rig.hashed, 3, "a clock set back makes nothing last longer");
}

#[test]
fn a_wrong_password_and_an_unknown_user_both_cost_one_hash_each_time() {
    let mut rig = rig();
    for (n, who) in
        [&b"anna:wrong"[..], b"anna:", b"nobody:secret", b"anna:secret2", b"Anna:secret", b":secret"]
            .iter()
            .enumerate()
    {
        assert!(!rig.ask(&basic(who)) && !rig.ask(&basic(who)), "{}", who.escape_ascii());
        assert_eq!(rig.hashed as usize, 2 * (n + 1));
    }
}

#[test]
fn requests_without_good_credentials_are_denied_without_a_hash() {
    let mut rig = rig();
    for fields in [
        String::new(),
        "Authorization: Bearer abc\r\n".into(),
        "Authorization: Basic\r\n".into(),
        "Authorization: Basic !!!\r\n".into(),
        format!("Authorization: Basic{}\r\n", STANDARD.encode("anna:secret")),
        basic(b"anna"),
        basic(b"anna:sec\0ret"),
        basic(b"anna:secret\n"),
        format!("{}{}", basic(b"anna:secret"), basic(b"anna:secret")),
    ] {
        assert!(!rig.ask(&fields), "{fields}");
    }
    assert_eq!(rig.hashed, 0);
    let lower = basic(b"anna:secret").replace("Basic ", "bASIC   ");
    assert!(rig.ask(&lower));
}

#[test]
fn no_more_than_the_bound_are_verified_at_one_time() {
    let mut rig = rig();
    let ask = |rig: &mut Rig, n: usize| {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", basic(format!("anna:{n}").as_bytes()));
        with_head(&request, |head| rig.auth.judge(head, || None, rig.now))
    };
    let mut under_way: Vec<Verdict> = (0..VERIFICATIONS_MAX).map(|n| ask(&mut rig, n)).collect();
    assert!(under_way.iter().all(|verdict| matches!(verdict, Verdict::Ask(_))));
    assert!(matches!(ask(&mut rig, 99), Verdict::Busy));
    drop(under_way.pop());
    assert!(matches!(ask(&mut rig, 99), Verdict::Ask(_)));
}

#[test]
fn an_answer_counts_for_its_own_question_alone() {
    let mut rig = rig();
    let judge = |rig: &mut Rig, who: &[u8], checked: Option<Checked>| {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", basic(who));
        with_head(&request, |head| rig.auth.judge(head, || checked.map(Ok), rig.now))
    };
    let Verdict::Ask(question) = judge(&mut rig, b"anna:secret", None) else { panic!("no question") };
    let checked = question.answer();
    assert!(checked.right);
    assert!(matches!(judge(&mut rig, b"anna:wrong", Some(checked)), Verdict::Ask(_)));
    assert!(matches!(judge(&mut rig, b"bert:secret", Some(checked)), Verdict::Ask(_)));
    assert!(matches!(judge(&mut rig, b"anna:secret", Some(checked)), Verdict::Allowed));
}

#[test]
fn the_file_is_read_again_when_it_changes_and_not_when_it_is_bad() {
    let mut rig = rig();
    let (anna, bert) = (basic(b"anna:secret"), basic(b"bert:secret"));
    assert!(rig.ask(&anna) && !rig.ask(&bert));
    rig.write(OTHER);
    assert!(
        !rig.ask(&anna) && rig.ask(&bert),
        "a user who was taken out does not pass on what is remembered"
    );
    rig.write("bert:{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc=\n");
    assert!(rig.ask(&bert));
    std::fs::remove_file(rig.dir.path().join("users")).unwrap();
    rig.now += 1;
    assert!(rig.ask(&bert));
    rig.write("");
    assert!(!rig.ask(&bert) && !rig.ask(&anna));
    rig.write(&format!("{LINE}{OTHER}"));
    assert!(rig.ask(&bert) && rig.ask(&anna));
}

#[test]
fn a_file_that_changed_a_moment_ago_is_read_again_though_its_state_is_the_same() {
    let mut rig = rig();
    let path = rig.dir.path().join("users");
    let at_rest = std::fs::metadata(&path).unwrap().modified().unwrap();
    rig.now = at_rest.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(rig.ask(&basic(b"anna:secret")));
    std::fs::write(&path, LINE.replace("anna", "bert")).unwrap();
    // As if the clock had not ticked in between.
    rig.auth.state = Some(State::of(&std::fs::metadata(&path).unwrap()));
    rig.now += 1;
    assert!(!rig.ask(&basic(b"anna:secret")));
    assert!(rig.ask(&basic(b"bert:secret")));
}

#[test]
fn a_file_that_cannot_be_used_is_told_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users");
    assert!(matches!(Auth::load(&path), Err(AuthError::Io(_))));
    assert!(matches!(Auth::load(dir.path()), Err(AuthError::NotAFile)));
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .unwrap();
    assert!(matches!(Auth::load(&path), Err(AuthError::NotAFile)), "a FIFO is not waited for");
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "# nobody\n").unwrap();
    assert!(matches!(Auth::load(&path), Err(AuthError::Empty)));
    std::fs::write(&path, format!("{LINE}x:y\n")).unwrap();
    assert!(Auth::load(&path).unwrap_err().to_string().contains("line 2"));
    std::fs::write(&path, vec![b'#'; FILE_MAX as usize + 1]).unwrap();
    assert!(matches!(Auth::load(&path), Err(AuthError::Large)));
}

#[test]
fn a_realm_is_quoted() {
    let line = |realm: &str| String::from_utf8(challenge(realm).unwrap()).unwrap();
    assert_eq!(line("Staff"), "Basic realm=\"Staff\", charset=\"UTF-8\"");
    assert_eq!(line("a\"b\\c"), "Basic realm=\"a\\\"b\\\\c\", charset=\"UTF-8\"");
    assert!(challenge("a\r\nb").is_err() && challenge("a\0").is_err());
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut remembered = Remembered::default();
    for n in 0..=REMEMBER_MAX as u64 {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&n.to_le_bytes());
        remembered.add(digest, 1);
        remembered.add(digest, 1);
    }
    assert_eq!((remembered.since.len(), remembered.order.len()), (REMEMBER_MAX, REMEMBER_MAX));
    assert!(!remembered.holds(&[0; 32], 1), "the oldest went first");
}

proptest! {
    #[test]
    fn any_bytes_are_credentials_or_none(value in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = parse(&value);
    }

    #[test]
    fn credentials_are_what_was_encoded(name in "[^:\\x00-\\x1f\\x7f]{0,8}", password in "[^\\x00-\\x1f\\x7f]{0,12}") {
        let value = format!("Basic {}", STANDARD.encode(format!("{name}:{password}")));
        prop_assert_eq!(parse(value.as_bytes()), Some((name.into_bytes(), password.into_bytes())));
    }
}
