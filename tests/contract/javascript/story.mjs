// A story by the AWS SDK for JavaScript: what it saw goes to standard output, as JSON.
import * as ecs from "@aws-sdk/client-ecs";

const client = new ecs.ECSClient({});
const send = (name, input) => client.send(new ecs[`${name}Command`](input));
const pace = { client, maxWaitTime: 60, minDelay: 1, maxDelay: 1 };

const main = { name: "main", image: "any", memory: 64, environment: [{ name: "EXIT_CODE", value: "7" }] };
await send("RegisterTaskDefinition", { family: "job", containerDefinitions: [main] });
const { tasks } = await send("RunTask", { taskDefinition: "job", count: 3, tags: [{ key: "team", value: "a" }] });
const arns = tasks.map((task) => task.taskArn);
await ecs.waitUntilTasksRunning(pace, { tasks: arns });

const pages = [];
for await (const page of ecs.paginateListTasks({ client, pageSize: 2 }, {})) pages.push(page.taskArns.length);

await send("StopTask", { task: arns[0], reason: "enough" });
await ecs.waitUntilTasksStopped(pace, { tasks: [arns[0]] });
const [stopped] = (await send("DescribeTasks", { tasks: [arns[0]] })).tasks;

await send("CreateService", { serviceName: "web", taskDefinition: "job", desiredCount: 2 });
await ecs.waitUntilServicesStable(pace, { services: ["web"] });
await send("DeleteService", { service: "web", force: true });
await ecs.waitUntilServicesInactive(pace, { services: ["web"] });

const refused = await send("RunTask", { taskDefinition: "job", cluster: "nowhere" }).catch((error) => error);
const refusedByModel = await send("RunTask", { taskDefinition: "job", count: 99 }).catch((error) => error);
console.log(
  JSON.stringify({
    pages,
    tags: (await send("ListTagsForResource", { resourceArn: arns[1] })).tags,
    exitCode: stopped.containers[0].exitCode,
    stopCode: stopped.stopCode,
    stoppedAtIsDate: stopped.stoppedAt instanceof Date,
    refused: [refused instanceof ecs.ClusterNotFoundException, refused.message],
    refusedByModel: [refusedByModel instanceof ecs.InvalidParameterException, refusedByModel.message],
  }),
);
