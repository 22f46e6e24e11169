//! An animation of agents that move to targets in the plane.

use serde::Serialize;

use crate::page::{page, rounded};

/// One episode of point control.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Episode {
    /// The title of the panel, such as the method.
    pub title: String,
    /// Seconds between frames, above 0.
    pub dt: f32,
    /// Positions, `[frames][agents]`; agents whose position is not finite are not drawn.
    pub frames: Vec<Vec<[f32; 2]>>,
    /// The target of each agent, `[agents]`; a single one is shared by all.
    pub targets: Vec<[f32; 2]>,
    /// Distance at which a target counts as reached.
    pub radius: f32,
    /// Lines of text below the arena.
    pub labels: Vec<String>,
}

/// The data block of a panel.
#[derive(Serialize)]
struct Panel<'a> {
    title: &'a str,
    dt: f32,
    frames: Vec<Vec<Point>>,
    targets: Vec<Point>,
    radius: f32,
    labels: &'a [String],
}

type Point = Option<[f32; 2]>;

/// Returns an HTML page that plays one episode: agents, their targets and paths, and the mean distance over time.
pub fn episode_page(episode: &Episode) -> String {
    episodes_page(std::slice::from_ref(episode))
}

/// Returns an HTML page that plays several episodes side by side, such as of two methods, with one scale and one clock.
///
/// All episodes should have the same time between frames. A shorter episode stands still at its end; one without frames
/// stays empty.
pub fn episodes_page(episodes: &[Episode]) -> String {
    let panels: Vec<Panel<'_>> = episodes.iter().map(panel).collect();
    let titles: Vec<&str> = episodes.iter().map(|episode| &*episode.title).collect();
    page(include_str!("episode.html"), &titles.join(" and "), &panels)
}

fn panel(episode: &Episode) -> Panel<'_> {
    let points = |points: &Vec<[f32; 2]>| points.iter().map(point).collect();
    let frames: Vec<Vec<Point>> = episode.frames.iter().map(points).collect();
    Panel {
        title: &episode.title,
        dt: if episode.dt > 0.0 && episode.dt.is_finite() { episode.dt } else { 1.0 },
        frames: if frames.is_empty() { vec![Vec::new()] } else { frames },
        targets: episode.targets.iter().map(point).filter(Option::is_some).collect(),
        radius: if episode.radius.is_finite() { episode.radius.max(0.0) } else { 0.0 },
        labels: &episode.labels,
    }
}

fn point(&[x, y]: &[f32; 2]) -> Point {
    Some([rounded(x.into())? as f32, rounded(y.into())? as f32])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn data(page: &str) -> Value {
        let start = page.find("id=\"data\">").expect("a block") + "id=\"data\">".len();
        let end = start + page[start..].find("</script>").expect("an end");
        serde_json::from_str(&page[start..end]).expect("JSON")
    }

    #[test]
    fn positions_are_told_frame_by_frame() {
        let one = Episode {
            title: "<cloned>".into(),
            dt: 0.5,
            frames: vec![vec![[0.0, 1.0], [2.0, f32::NAN]], vec![[0.123_456, -1.0], [2.0, 3.0]]],
            targets: vec![[0.0, 0.0], [1.0, 1.0]],
            radius: 0.25,
            labels: vec!["</script>".into()],
        };
        let page = episodes_page(&[one.clone(), Episode { title: "DAgger".into(), ..Episode::default() }]);
        assert!(page.contains("<title>&lt;cloned&gt; and DAgger</title>"));
        let data = data(&page);
        let expected = json!({
            "title": "<cloned>", "dt": 0.5, "radius": 0.25, "labels": ["</script>"],
            "frames": [[[0.0, 1.0], null], [[0.12346, -1.0], [2.0, 3.0]]], "targets": [[0.0, 0.0], [1.0, 1.0]],
        });
        assert_eq!(data[0].to_string(), expected.to_string());
        assert_eq!((&data[1]["frames"], &data[1]["dt"]), (&json!([[]]), &json!(1.0)));
        assert_eq!(episode_page(&one), episodes_page(&[one]));
    }

    #[test]
    fn a_hundred_agents_for_a_hundred_steps_stay_small() {
        let frame = |t: usize| (0..100).map(|a| [(t * a) as f32 / 7.0, (t + a) as f32 / 3.0]).collect();
        let long = Episode { frames: (0..100).map(frame).collect(), ..Episode::default() };
        let size = episode_page(&long).len();
        assert!(size < 300_000, "{size} bytes");
    }
}
