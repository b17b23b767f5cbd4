"""How the page looks."""

CSS = """
:root { --ground: #14181d; --card: #1d232a; --line: #313a44; --ink: #e6ebf0; --dim: #93a1af;
        --one: #66bb6a; --two: #ef5350; --nothing: #ffca28; --change: #42a5f5; }
body { background: var(--ground); color: var(--ink); font-size: 14px; }
.nicegui-content { padding: 0; gap: 0; align-items: stretch; }
.w-full { width: 100%; } .grow { flex-grow: 1; }
.items-center { align-items: center; } .no-wrap { flex-wrap: nowrap; }
.gap-0 { gap: 0; } .gap-1 { gap: 4px; } .gap-2 { gap: 8px; }
.top { position: sticky; top: 0; z-index: 5; display: flex; align-items: center; gap: 12px;
       width: 100%; height: 44px; padding: 0 14px; background: var(--card);
       border-bottom: 1px solid var(--line); }
.brand { font-weight: 600; white-space: nowrap; }
.source { color: var(--dim); overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.unsaved { margin-left: auto; color: var(--dim); white-space: nowrap; }
.page { display: grid; grid-template-columns: minmax(0, 1fr) 372px; width: 100%;
        height: calc(100vh - 44px); }
.left { padding: 12px; overflow-y: auto; }
.right { background: var(--card); border-left: 1px solid var(--line); overflow-y: auto; }
.right .q-tabs { position: sticky; top: 0; z-index: 3; background: var(--card);
                 border-bottom: 1px solid var(--line); }
.panels { background: transparent; width: 100%; }
.panels .q-tab-panel { padding: 6px 14px 24px; }
.notes { width: 100%; margin-bottom: 10px; padding: 8px 12px; border-left: 3px solid
         var(--nothing); background: var(--card); overflow-wrap: anywhere; }
.pictures { position: relative; display: flex; gap: 10px; }
figure { flex: 1 1 0; min-width: 0; margin: 0; }
figcaption { display: flex; align-items: center; justify-content: space-between; height: 34px;
             color: var(--dim); }
figcaption .state { color: var(--nothing); font-size: 12px; }
figcaption .q-field { width: 100%; }
.picture { width: 100%; min-height: 120px; background: #0c0f12; border-radius: 4px;
           overflow: hidden; }
.picture.drawing { cursor: crosshair; touch-action: none; user-select: none; }
.empty { position: absolute; left: 12px; top: 46px; right: 12px; color: var(--dim); }
.stroke { fill: none; stroke-width: 5; stroke-linecap: round; stroke-linejoin: round; }
.stroke.one { stroke: var(--one); } .stroke.two { stroke: var(--two); }
.stroke.nothing { stroke: var(--nothing); }
.numbers { display: grid; grid-template-columns: auto repeat(4, 1fr); gap: 2px 14px;
           margin: 10px 0 6px; font-variant-numeric: tabular-nums; text-align: right; }
.numbers .head { color: var(--dim); font-size: 12px; align-self: center; }
.numbers > :nth-child(5n + 1) { text-align: left; }
.found .numbers { grid-template-columns: 1fr auto auto; }
.found .numbers > :nth-child(n) { text-align: right; }
.found .numbers > :nth-child(3n + 1) { text-align: left; }
.time { margin-top: 10px; }
.strip { position: relative; height: 64px; background: var(--card); border-radius: 4px; }
.strip > div:first-child, .timeline { display: block; width: 100%; height: 64px; }
.timeline .counts { fill: #37505a; }
.timeline path { stroke-width: 2; fill: none; }
.timeline .jump { stroke: #ab47bc; } .timeline .marked { stroke: var(--nothing); }
.timeline .changed { stroke: var(--change); }
.cursor { position: absolute; top: 0; width: 2px; height: 64px; margin-left: -1px;
          background: var(--ink); pointer-events: none; }
.time .q-slider { padding: 0; }
.where { margin: 0 auto 0 8px; color: var(--dim); font-variant-numeric: tabular-nums;
         white-space: nowrap; }
.key { color: var(--dim); font-size: 12px; white-space: nowrap; }
.key::before { content: ''; display: inline-block; width: 3px; height: 10px;
               margin: 0 5px 0 10px; }
.key.jump::before { background: #ab47bc; } .key.marked::before { background: var(--nothing); }
.key.changed::before { background: var(--change); }
.reasons { margin-top: 8px; width: 100%; font-family: monospace; font-size: 12px;
           overflow-x: auto; white-space: pre; }
.reasons .cut { color: #ff8a80; } .reasons .merged { color: #a5d6a7; }
.group { margin: 14px 0 4px; font-weight: 600; }
.setting { padding: 6px 0 8px; border-bottom: 1px solid var(--line); }
.name { font-family: monospace; font-size: 13px; overflow-wrap: anywhere; }
.reset { padding: 4px; border: 0; background: none; color: inherit; font-size: 18px;
         line-height: 1; cursor: pointer; }
.reset:disabled { visibility: hidden; }
.value { width: 92px; } .list { width: 190px; }
.meaning { color: var(--dim); font-size: 12px; line-height: 1.35; white-space: pre-line; }
.refused { color: #ff8a80; font-size: 12px; overflow-wrap: anywhere; }
.doubt { color: var(--nothing); font-size: 12px; }
.modes { display: grid; grid-template-columns: 1fr 1fr; gap: 6px; margin: 8px 0; }
.modes .q-btn { width: 100%; }
.dot { width: 10px; height: 10px; border-radius: 5px; flex: none; }
.dot.one { background: var(--one); } .dot.two { background: var(--two); }
.dot.nothing { background: var(--nothing); }
.path { font-family: monospace; font-size: 12px; color: var(--dim); overflow-wrap: anywhere; }
@media (max-width: 820px) {
  .page { grid-template-columns: minmax(0, 1fr); height: auto; }
  .left, .right { overflow: visible; border: 0; }
  .left { padding: 0 10px 10px; }
  .right .q-tabs { position: static; }
  /* The picture stays in sight while a slider below it is moved; the other one is a swipe away. */
  .page .left { display: contents; }
  .pictures { position: sticky; top: 44px; z-index: 4; overflow-x: auto; gap: 8px;
              padding: 0 10px 6px; scroll-snap-type: x mandatory; background: var(--ground); }
  figure { flex: 0 0 100%; scroll-snap-align: center; }
  .notes, .numbers, .time, .reasons, .left > .q-linear-progress { margin-left: 10px;
              margin-right: 10px; width: auto; }
  .key { display: none; }
}
"""
