//! What a graph of things that import each other looks like: circles, floors, and how few arrows have to run back.

use std::collections::{BTreeMap, BTreeSet};

/// Who imports whom, by index.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    arrows: BTreeMap<usize, BTreeSet<usize>>,
    size: usize,
}

impl Graph {
    /// A graph of so many things and these arrows, of which those to oneself do not count.
    pub fn new(size: usize, arrows: impl IntoIterator<Item = (usize, usize)>) -> Graph {
        let mut graph = Graph { arrows: BTreeMap::new(), size };
        for (from, to) in arrows {
            if from != to {
                graph.arrows.entry(from).or_default().insert(to);
            }
        }
        graph
    }

    /// How many pairs import each other.
    pub fn arrows(&self) -> usize {
        self.arrows.values().map(BTreeSet::len).sum()
    }

    fn from(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        self.arrows.get(&node).into_iter().flatten().copied()
    }

    /// Which nodes each node reaches, itself only by a circle.
    fn reach(&self) -> Vec<BTreeSet<usize>> {
        (0..self.size)
            .map(|start| {
                let (mut reached, mut todo) = (BTreeSet::new(), vec![start]);
                while let Some(node) = todo.pop() {
                    todo.extend(self.from(node).filter(|&next| reached.insert(next)));
                }
                reached
            })
            .collect()
    }

    /// The groups of nodes that all reach each other, two or more in each.
    pub fn circles(&self) -> Vec<Vec<usize>> {
        let reach = self.reach();
        let (mut circles, mut seen) = (Vec::new(), BTreeSet::<usize>::new());
        for node in 0..self.size {
            if reach[node].contains(&node) && !seen.contains(&node) {
                let circle: Vec<usize> =
                    reach[node].iter().copied().filter(|&other| reach[other].contains(&node)).collect();
                seen.extend(&circle);
                circles.push(circle);
            }
        }
        circles
    }

    /// The shortest way around in a circle: each node imports the next, and the last the first.
    pub fn way_around(&self, circle: &[usize]) -> Vec<usize> {
        let ways = circle.iter().filter_map(|&start| self.way_back(start));
        ways.min_by_key(Vec::len).unwrap_or_default()
    }

    fn way_back(&self, start: usize) -> Option<Vec<usize>> {
        let mut ways = std::collections::VecDeque::from([vec![start]]);
        let mut seen = BTreeSet::new();
        while let Some(way) = ways.pop_front() {
            for next in self.from(way[way.len() - 1]) {
                if next == start {
                    return Some(way);
                }
                if seen.insert(next) {
                    ways.push_back(way.iter().copied().chain([next]).collect());
                }
            }
        }
        None
    }

    /// How many nodes the longest chain has; a circle counts as one.
    pub fn floors(&self) -> usize {
        let reach = self.reach();
        let mut heights = vec![0; self.size];
        // Who reaches fewer stands lower, and all in a circle reach the same.
        let mut nodes: Vec<usize> = (0..self.size).collect();
        nodes.sort_by_key(|&node| reach[node].len());
        let is_in_circle_with = |a: usize, b: usize| reach[a].contains(&b) && reach[b].contains(&a);
        let mut done = BTreeSet::new();
        for &node in &nodes {
            if done.contains(&node) {
                continue;
            }
            let group: Vec<usize> =
                nodes.iter().copied().filter(|&other| other == node || is_in_circle_with(node, other)).collect();
            let below = group.iter().flat_map(|&member| self.from(member)).filter(|next| !group.contains(next));
            let height = 1 + below.map(|next| heights[next]).max().unwrap_or(0);
            for member in group {
                heights[member] = height;
                done.insert(member);
            }
        }
        heights.into_iter().max().unwrap_or(0)
    }

    /// The arrows that run back up when the nodes are ordered by index: each imports only those before it.
    pub fn up(&self) -> Vec<(usize, usize)> {
        (0..self.size).flat_map(|from| self.from(from).filter(move |&to| to > from).map(move |to| (from, to))).collect()
    }

    /// How few arrows run back up in the best order of the nodes. `None` if a circle is too large to tell.
    pub fn fewest_up(&self) -> Option<usize> {
        const MOST: usize = 20;
        let mut total = 0;
        for circle in self.circles() {
            if circle.len() > MOST {
                return None;
            }
            let imports: Vec<u32> = circle
                .iter()
                .map(|&from| {
                    (0..circle.len()).filter(|&i| self.from(from).any(|to| to == circle[i])).map(|i| 1 << i).sum()
                })
                .collect();
            // best[set]: how many run up if those in the set stand at the top. Who comes next sees the rest below it.
            let mut best = vec![u32::MAX; 1 << circle.len()];
            best[0] = 0;
            for set in 0..best.len() {
                for (i, import) in imports.iter().enumerate().filter(|(i, _)| set & (1 << i) == 0) {
                    let with = set | 1 << i;
                    let up = best[set] + (import & !(with as u32)).count_ones();
                    best[with] = best[with].min(up);
                }
            }
            total += best[best.len() - 1] as usize;
        }
        Some(total)
    }
}
