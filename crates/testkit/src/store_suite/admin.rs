//! Projects, apps and keys.

use std::collections::BTreeSet;

use parlance_domain::model::{
    App, AppMode, KeyDigest, KeyRecord, Project, ProjectId, Scopes, User,
};
use parlance_domain::store::AdminWrite;

use super::bench::{Bench, Refusal, refused};
use crate::samples::PROJECT;

const OTHER: ProjectId = ProjectId(2);

fn project(bench: &Bench, number: i64, name: &str) -> AdminWrite {
    AdminWrite::CreateProject(Project {
        id: ProjectId(number),
        name: name.to_owned(),
        created_at: bench.now(),
    })
}

fn app(bench: &Bench, project: ProjectId, name: &str) -> App {
    bench.tick();
    App {
        id: bench.id(),
        project,
        name: name.to_owned(),
        mode: AppMode::AgentChat,
        model: (project == PROJECT).then(|| "gpt-é".to_owned()),
        instructions: Some("Be brief.\0\n".to_owned()),
        created_at: bench.now(),
    }
}

pub(super) fn key(bench: &Bench, project: ProjectId, scopes: Scopes, user: &str) -> KeyRecord {
    bench.tick();
    KeyRecord {
        id: bench.id(),
        project,
        app: bench.id(),
        dialect: "coze".to_owned(),
        scopes,
        user: User::parse(user).unwrap(),
        created_at: bench.now(),
        revoked_at: None,
    }
}

pub(super) async fn create(bench: &Bench, key: &KeyRecord, secret: &str) -> KeyDigest {
    let digest = KeyDigest::of(secret);
    let write = AdminWrite::CreateKey {
        key: key.clone(),
        digest,
    };
    bench.store.administer(&write).await.unwrap();
    digest
}

pub async fn projects_are_listed_by_number(bench: &Bench) {
    assert_eq!(bench.store.projects().await.unwrap(), []);
    for (number, name) in [(2, "two"), (10, "ten"), (1, "one")] {
        let write = project(bench, number, name);
        bench.store.administer(&write).await.unwrap();
    }
    let projects = bench.store.projects().await.unwrap();
    let names: Vec<_> = projects.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["one", "two", "ten"]);
    assert_eq!(projects[0].created_at, bench.now());
}

pub async fn a_projects_name_and_number_are_unique(bench: &Bench) {
    let store = &bench.store;
    store.administer(&project(bench, 1, "one")).await.unwrap();
    let cases = [
        (2, "one", Refusal::NameTaken),
        (1, "two", Refusal::IdClash),
        (1, "one", Refusal::NameTaken),
    ];
    for (number, name, why) in cases {
        refused(store.administer(&project(bench, number, name)).await, why);
    }
    store.administer(&project(bench, 2, "One")).await.unwrap();
    assert_eq!(store.projects().await.unwrap().len(), 2);
}

pub async fn apps_belong_to_their_project(bench: &Bench) {
    let store = &bench.store;
    let mut apps = vec![app(bench, PROJECT, "b"), app(bench, PROJECT, "a")];
    apps[1].instructions = None;
    let mut modes = AppMode::ALL.into_iter().cycle();
    for app in &mut apps {
        app.mode = modes.next().unwrap();
    }
    for app in &apps {
        let write = AdminWrite::CreateApp(app.clone());
        store.administer(&write).await.unwrap();
    }
    assert_eq!(store.apps(PROJECT).await.unwrap(), apps);
    assert_eq!(store.apps(OTHER).await.unwrap(), []);
    for app in &apps {
        let found = store.app(PROJECT, app.id).await.unwrap();
        assert_eq!(found.as_ref(), Some(app));
        assert_eq!(store.app(OTHER, app.id).await.unwrap(), None);
    }
    assert_eq!(store.app(PROJECT, bench.id()).await.unwrap(), None);
}

pub async fn a_name_of_an_app_is_unique_in_its_project(bench: &Bench) {
    let store = &bench.store;
    for project in [PROJECT, OTHER] {
        let write = AdminWrite::CreateApp(app(bench, project, "same"));
        store.administer(&write).await.unwrap();
    }
    let write = AdminWrite::CreateApp(app(bench, PROJECT, "same"));
    refused(store.administer(&write).await, Refusal::NameTaken);
    assert_eq!(store.apps(PROJECT).await.unwrap().len(), 1);
}

pub async fn a_key_is_found_by_its_digest(bench: &Bench) {
    let some = ["chat", "editConversation"].map(ToOwned::to_owned);
    let scopes = [
        Scopes::All,
        Scopes::Only(BTreeSet::from(some)),
        Scopes::Only(BTreeSet::new()),
    ];
    for (number, scopes) in scopes.into_iter().enumerate() {
        for user in ["", "ann é"] {
            let key = key(bench, PROJECT, scopes.clone(), user);
            let digest = create(bench, &key, &format!("pat_{number}{user}")).await;
            assert_eq!(bench.store.key(&digest).await.unwrap(), Some(key));
        }
    }
    let unknown = KeyDigest::of("pat_unknown");
    assert_eq!(bench.store.key(&unknown).await.unwrap(), None);
}

pub async fn keys_are_listed_by_project(bench: &Bench) {
    let mut own = Vec::new();
    for (number, project) in (0..).zip([PROJECT, OTHER, PROJECT]) {
        let key = key(bench, project, Scopes::All, "");
        create(bench, &key, &format!("pat_{number}")).await;
        if project == PROJECT {
            own.push(key);
        }
    }
    assert_eq!(bench.store.keys(PROJECT).await.unwrap(), own);
    assert_eq!(bench.store.keys(OTHER).await.unwrap().len(), 1);
    assert_eq!(bench.store.keys(ProjectId(3)).await.unwrap(), []);
}

pub async fn a_key_is_revoked_once_and_only_in_its_project(bench: &Bench) {
    let key = key(bench, PROJECT, Scopes::All, "ann");
    let digest = create(bench, &key, "pat_1").await;
    let revoke = |project| AdminWrite::RevokeKey {
        project,
        key: key.id,
        at: bench.now(),
    };
    let revoked = bench.store.administer(&revoke(OTHER)).await;
    refused(revoked, Refusal::NoKey);
    let found = bench.store.key(&digest).await.unwrap().unwrap();
    assert_eq!(found.revoked_at, None);
    let first = bench.now();
    for _ in 0..2 {
        bench.store.administer(&revoke(PROJECT)).await.unwrap();
        bench.tick();
    }
    let found = bench.store.key(&digest).await.unwrap().unwrap();
    assert_eq!(found.revoked_at, Some(first));
    assert_eq!(bench.store.keys(PROJECT).await.unwrap(), [found]);
}

pub async fn a_store_that_is_open_answers(bench: &Bench) {
    bench.store.ping().await.unwrap();
}
