import json, trio, pytest
from tests.conformance.stage import *
from trio.testing import MockClock
@pytest.fixture
async def stage(tmp_path, autojump_clock):
    async with open_stage(tmp_path) as s: yield s
def show(v): print(v.status, v.statuses, {k:s.get('reason') for k,s in v.steps.items() if s.get('reason')}, v.output, v.error.get('message'))
async def test_list_fails(stage):
    v = await stage.play(flow("p","parallel",config={"branches":[[step("bad","t.fail"),echo("never")],[step("slow","t.echo",params={"seconds":5,"value":1}),echo("next")],[flow("w","wait",config={"duration":"1h"})]]}), echo("other",1,seconds=2), echo("indep",1,"other"))
    show(v)
    v = await stage.tell(v,"retry"); show(v)
async def test_body_list(stage):
    v = await stage.play(flow("p","loop",config={"over":[1,2],"max_concurrency":2,"body":[step("bad","t.fail", condition="loop.item==1"),step("slow","t.echo",params={"seconds":5,"value":"${{loop.item}}"}),echo("never")]}))
    show(v)
async def test_conc_list(stage):
    v = await stage.play(flow("p","loop",config={"over":[1],"body":[step("bad","t.fail",params={"seconds":1}),step("slow","t.echo",params={"seconds":5,"value":"x"}),echo("after",1,"slow"),flow("w","wait",config={"duration":"1h"})]}))
    show(v)
async def test_loops(stage):
    v = await stage.play(flow("w","loop",config={"mode":"while","condition":"iter.index < 3","body":[echo("v","${{iter.index}}")]}),
      flow("u","loop",config={"mode":"until","condition":"iter.index == 2 && iter.last == 2","body":[echo("v","${{iter.index}}")]}),
      flow("z","loop",config={"mode":"while","condition":"true","max_iter":2,"body":[echo("v","${{iter.index}}")]}),
      flow("e","loop",config={"over":[],"body":[echo("v","${{iter.index}}")]}),
      flow("c","condition",config={"expression":"1.0","branches":{"1":[],"1.0":[echo("x",1)]}}),
      flow("n","condition",config={"expression":"null","branches":{"null":[echo("x",1)]}}),
      flow("k","condition",config={"expression":"2"}),)
    show(v); print(v.output)
async def test_flow_timeout(stage):
    v = await stage.play(flow("p","loop",timeout="10s",config={"over":[1,2],"body":[ask("q"),echo("slow",1,)]} ))
    show(v); await trio.sleep(3600)
    v = await stage.decide(v,"yes"); show(v); await trio.sleep(3600); v = await stage.decide(v,"yes"); show(v)
async def test_flow_timeout2(stage):
    v = await stage.play(flow("p","loop",timeout="10s",config={"over":[1,2],"body":[step("s","t.echo",params={"seconds":7})]} )); show(v)
async def test_ign(stage):
    v = await stage.play(step("a","t.fail",on_error={"strategy":"ignore"}),step("b","t.fail",on_error={"strategy":"fail_workflow"}),step("c","t.hang"), echo("d",1,"a")); show(v); print(v.error)
async def test_dep(stage):
    v = await stage.play(step("a","t.fail"),echo("b",1,"a"),echo("c",1,"b"),step("g","t.echo",condition="false"),echo("h",2,"g"), on_error=echo("hook","${{workflow.error.message}}")); show(v); print(v.outputs)
async def test_cancel(stage):
    v = await stage.play(ask("a"),echo("b",1,"a"),flow("w","wait",config={"duration":"1h"}),echo("w2",1,"w"), on_error=echo("hook","x")) if 0 else None
    h = await stage.start(ask("a"),echo("b",1,"a"),flow("w","wait",config={"duration":"1h"}),echo("w2",1,"w"), on_error=echo("hook","x"))
    await trio.sleep(1)
    v = await stage.look(h); show(v)
    v = await stage.tell(v,"cancel"); show(v)
async def test_race(stage):
    v = await stage.play(flow("r","parallel",config={"mode":"race","branches":[[step("f","t.fail")],[step("s","t.echo",params={"seconds":5,"value":1})],[step("h","t.hang")]]})); show(v)
    v = await stage.play(flow("r","parallel",config={"mode":"race","branches":[[step("f","t.fail",params={"seconds":5,"message":"late"})],[step("s","t.fail",params={"message":"early"})]]})); show(v)
async def test_pause_fallback(stage):
    v = await stage.play(ask("a",timeout="10s",fallback="yes")); show(v)
    await stage.runtime.signal(v.id,"pause"); await trio.sleep(100); v = await stage.look(v.id); show(v)
    with pytest.raises(OpcodeError) as e: await stage.runtime.signal(v.id,"decision",{"choice":"no"})
    print(e.value)
    v = await stage.tell(v,"resume"); show(v); print(v.outputs)
async def test_sub(stage):
    await stage.define({"steps":[ask("q")]}, name="child")
    v = await stage.play(step("s","workflow.run",params={"template_name":"child"},timeout="10s")); show(v); print(v.kinds())
    await trio.sleep(100)
    cid = v.steps["s"]["child_workflow_id"]
    await stage.runtime.signal(cid,"decision",{"choice":"no"}); await trio.sleep(1)
    v = await stage.look(v.id); show(v)
    v = await stage.play(step("s","workflow.run",params={"template_name":"child"})); c=v.steps["s"]["child_workflow_id"]; await stage.tell(v,"cancel"); print((await stage.rest(c)).status)
    v = await stage.play(step("s","workflow.run",params={"template_name":"child"})); c=v.steps["s"]["child_workflow_id"]; await stage.runtime.signal(v.id,"pause"); await trio.sleep(1); print((await stage.look(c)).shown["suspended_for"]); 
    await stage.runtime.signal(v.id,"resume"); await trio.sleep(1); print((await stage.look(c)).shown.get("suspended_for"), (await stage.look(v.id)).shown.get("suspended_for"))
    await stage.runtime.signal(c,"cancel"); await trio.sleep(1); show(await stage.look(v.id))
async def test_wait(stage):
    h = await stage.start(flow("w","wait",config={"signal":"go"})); 
    await trio.sleep(1); await stage.runtime.signal(h.workflow_id,"data",{"name":"go","x":1}); v=await stage.rest(h); show(v)
    h = await stage.start(flow("pre","wait",config={"duration":"10s"}),flow("w","wait","pre",config={"signal":"go"},timeout="5s")); 
    await stage.runtime.signal(h.workflow_id,"go",{"early":1});v=await stage.rest(h); show(v)
    h = await stage.start(flow("w","wait",config={"signal":"go"},timeout="5s")); v=await stage.rest(h); show(v)
    h = await stage.start(flow("w","wait",config={"duration":"1h","signal":"go"})); v=await stage.look(h)
    print(await stage.refuses(v,"nope")); print(v.shown["next"])
    print(await stage.runtime.signal(v.id,"data",{"k":1}))
    print((await stage.refuses(v,"data",{"name":"go"},step_id="zz")))
async def test_timeout_suspend(stage):
    v = await stage.play(step("a","t.hang"), timeout="10s", on_timeout="suspend"); show(v); print(v.shown["suspended_for"])
    v = await stage.tell(v,"resume"); show(v); print(v.shown.get("suspended_for"))
async def test_retry_inside(stage):
    v = await stage.play(flow("r","condition",config={"expression":"true","branches":{"true":[echo("ok",1),step("bad","t.fail",params={"times":1})]}}), echo("z","${{steps.r.true.bad.attempt}}","r")); show(v)
    v = await stage.tell(v,"retry",step_id="r.true.bad"); show(v)
async def test_hookfail(stage):
    v = await stage.play(echo("a",1), on_complete=step("h","t.fail")); show(v)
    v = await stage.play(echo("a",1), on_complete=step("h","t.hang"), timeout="5s"); show(v); 
async def test_conc_limits(stage):
    v = await stage.play(flow("p","parallel",config={"max_concurrency":1,"branches":[[step("a","t.echo",params={"seconds":5})],[step("b","t.echo",params={"seconds":5})]]})); print(stage.began, stage.ended)
