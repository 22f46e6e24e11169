#![allow(missing_docs, clippy::print_stdout)]
#[path = "../tests/constants/planted.rs"] mod planted;
#[path = "../tests/constants/reference.rs"] mod reference;
use sr_engine::ConstantFitter;
use sr_expr::Semantics;
fn main() {
    for away in [0.1, 0.3, 1.0] {
        let problems = planted::planted(1, 2000, 60, away);
        for steps in [4, 10, 50] {
            let mut fitter = ConstantFitter::new();
            let (mut ours, mut theirs, mut work, mut only_theirs) = (0, 0, 0.0, 0);
            let (mut lo, mut lt) = (0.0, 0.0);
            for p in &problems {
                let f = fitter.fit(&p.start, &p.instance, Semantics::Ieee, steps);
                work += f.work as f64 / 60.0 / p.start.size() as f64;
                let o = f.error < 1e-20;
                let oe = f.error;
                let r = reference::fit(&p.start, &p.instance, Semantics::Ieee, steps);
                let e = p.instance.fit(&r, Semantics::Ieee).relative;
                let t = e < 1e-20;
                ours += o as i32; theirs += t as i32; only_theirs += (t && !o) as i32;
                lo += oe.max(1e-20).log10(); lt += e.max(1e-20).log10();
                if std::env::args().nth(1).is_some() && t && !o && steps == 50 { println!("{} {} -> {oe:e} {e:e}", p.start, r); }
            }
            let n = problems.len() as f64;
            println!("away {away} steps {steps}: ours {ours} ref {theirs} only ref {only_theirs} of {} sweeps {:.2} mean log error {:.3} {:.3}", problems.len(), work / n, lo / n, lt / n);
        }
    }
}
