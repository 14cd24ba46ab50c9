/** A lesson at a time: text on the left, live controls on the right, the list of lessons above. */
import { LESSONS } from "../lessons/index.ts";
import { route } from "../router.ts";
import "../styles/lessons.css";

export function Lessons() {
  const asked = Number.parseInt(route.value.rest, 10);
  const number = asked >= 1 && asked <= LESSONS.length ? asked : 1;
  const lesson = LESSONS[number - 1];
  if (!lesson) return null;
  const { Text, Controls } = lesson;
  return (
    <>
      <nav class="lesson-list" aria-label="Lessons">
        <ol>
          {LESSONS.map(({ title, summary }, index) => (
            <li key={title}>
              <a
                href={`#/lessons/${index + 1}`}
                aria-current={index + 1 === number ? "step" : undefined}
                title={summary}
              >
                {title}
              </a>
            </li>
          ))}
        </ol>
      </nav>
      <h1>
        {number}. {lesson.title}
      </h1>
      <div class="lesson" key={lesson.title}>
        <article class="lesson-text">
          <Text />
        </article>
        <section class="panel lesson-controls" aria-label="Live controls">
          <Controls />
        </section>
      </div>
    </>
  );
}
